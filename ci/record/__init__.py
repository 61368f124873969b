"""REMEMBER: events as they come, and the record that they fold into."""
