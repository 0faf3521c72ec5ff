"""The stacked denoising autoencoder: layers that learned to restore their input, fine-tuned as a classifier."""

from .autoencoder import DenoisingAutoencoder
from .pretraining import PretrainedMLP

__all__ = ["StackedDenoisingAutoencoder"]


class StackedDenoisingAutoencoder(PretrainedMLP):
    """Denoising autoencoders, each trained on the codes of the one below, then fine-tuned as one network.

    Sources: Vincent, Larochelle, Lajoie, Bengio and Manzagol (2010), *Stacked denoising autoencoders*; Deep Learning
    Tutorials (LISA lab), *Stacked Denoising Autoencoders*, whose first layer and epochs are the defaults; its
    minibatches of one image, at a rate of 0.001 on the mean loss, are here of 20, at 0.02. Fine-tuning is that of the
    tutorial on belief networks: minibatches of 10 and a patience of four epochs, where this one has one image and ten.

    Parameters
    ----------
    hidden_sizes, pretraining, learning_rate, ...
        See `companion.pretraining.PretrainedMLP`; `pretraining` has options of
        `companion.autoencoder.DenoisingAutoencoder`. The tutorial corrupts more from layer to layer:
        ``corruption_level=(0.1, 0.2, 0.3)``.
    """

    layer_class = DenoisingAutoencoder
    PRETRAINING = {"corruption_level": 0.1, "learning_rate": 0.02, "n_epochs": 15, "batch_size": 20}
