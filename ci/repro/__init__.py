"""From a link, a log, a folder or a name back to a request."""
