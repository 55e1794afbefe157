"""Gradient estimators, one file for each way of drawing terms.

An estimator fills g (dim, W) with a reweighted gradient of one batch for each lane, whose expectation is ∇L. What it
keeps from step to step is in rows of the path's state (memory); what it may forget, in rows of scratch (work).
"""
