"""What a node does about failures: tries again, asks twice, stops asking, waits its turn, remembers."""
