"""What HeyGen says: workflow executions asked for, polled and read. It calls nobody back."""
