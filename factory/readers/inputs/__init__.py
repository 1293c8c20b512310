"""From whatever was given to frames: files, folders, datasets, URLs; what lies on disk is read by its content."""
