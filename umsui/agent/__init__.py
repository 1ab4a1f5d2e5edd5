"""What runs on a node: standard library only, one file when shipped, Python >= 3.9.

``umsui.core.shipping`` zips this package; ``main`` has the programs that the one file can be started as.
"""
