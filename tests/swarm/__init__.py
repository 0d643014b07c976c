"""The parts of the storm over many processes: the failing store, the processes, the clients, and the oracle that judges what they got."""
