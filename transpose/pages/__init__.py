"""What people look at: the report, its figures and galleries, the pages and pictures of tests and scenes."""
