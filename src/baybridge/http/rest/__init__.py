"""The REST face: parses its own dialect, calls a verb, and prints the outcome. No rule about who may do what is in here."""
