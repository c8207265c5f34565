"""The comparison room: several finished runs side by side, on the questions they share."""
