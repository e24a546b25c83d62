"""What is true: jobs and their outcomes, receipts, events, deliveries, and the work that is due.

The only package with SQL. It imports none of the others, and state moves nowhere else.
"""
