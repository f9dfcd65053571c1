"""Labelled people, as the field's data sets hand them over: one file a format."""
