"""One step of each scheme: ``step(drift, diffusion, params, t, h, noise, work, x)`` moves a block x (d, W) by one step.

noise (kinds, m, W): noise[0] is √h ζ = ΔW, noise[1] is √h υ with υ ~ N(0, 1) independent of ζ, of which schemes of
strong order 1.5 make ∫∫ dW ds = h (ΔW + √h υ/√3)/2; work (n_work, max(d, m), W) is scratch.
"""
