"""New distributions for ``edframe plugins new``, from the templates beside."""
