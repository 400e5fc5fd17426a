"""The tf.data pipeline: decode, augment, mix, stream."""
