"""A page that shows domain weights and what they rest on: one HTML file of text and pictures."""
