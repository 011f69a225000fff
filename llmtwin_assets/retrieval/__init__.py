"""From a question to cited passages of one author, and the measure of it."""
