"""Builders of what the project ships as data: corpora and priors."""
