"""The project's network beside MiniRocket with a ridge classifier, on the windows and folds of one project."""
