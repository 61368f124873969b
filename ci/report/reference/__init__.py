"""What the documentation says of rows, plans, records, options and exit codes, made from the code that reads them."""
