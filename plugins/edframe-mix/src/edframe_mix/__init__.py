"""Loss for edframe: a weighted sum of other losses."""
