"""The companion of *Deep Beliefs*: the models, samplers and likelihoods of the book, in NumPy and CuPy."""

__version__ = "0.1.0"
