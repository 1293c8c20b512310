"""Where exports go: folders, the Hub, object stores."""
