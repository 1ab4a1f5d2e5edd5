"""The images that umsui makes itself: the outer container for services that must stay as they are."""
