"""A study of where people look before and after edits (Sec. 5.4)."""
