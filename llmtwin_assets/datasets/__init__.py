"""Data sets worth training on: the author's own words as answers, instructions written to fit."""
