"""The console's widgets: canvases that repaint only the cells that changed."""
