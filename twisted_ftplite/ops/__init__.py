"""What whoever runs a server sees of it: metrics, and the page that shows its state.  It changes nothing."""
