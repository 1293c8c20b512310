"""From the parts that a layout names to the rows of our own tables: normal form, reasons, ids."""
