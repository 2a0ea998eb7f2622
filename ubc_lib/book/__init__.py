"""The book: notebooks run, pages made from templates, widgets, publishing."""
