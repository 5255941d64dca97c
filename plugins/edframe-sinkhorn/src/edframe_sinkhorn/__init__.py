"""Loss for edframe: the debiased Sinkhorn divergence on a grid."""
