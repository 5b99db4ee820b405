"""The worker: hosts runners, holds values, and answers for both."""
