"""What the readers of apps' and devices' exports share: archives, names, and two sensors with stamps of their own."""
