"""The database: jobs, outcomes, receipts, events, deliveries, and the work queue. The only package with SQL."""
