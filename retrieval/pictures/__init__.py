"""From folders, files and URLs to pictures and the words beside them."""
