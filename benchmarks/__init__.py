"""Builds, deliveries and starts of the image, side by side with what people use today."""
