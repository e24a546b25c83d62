"""What both databases share: transactions, statements, migrations, and the interface of a store."""
