"""What the pages that people read are made of: Markdown, HTML, drawings."""
