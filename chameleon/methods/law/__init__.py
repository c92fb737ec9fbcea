"""The affinity law: weights from the losses of a few small runs and the affinities of domains.

L_i(w) = c_i - b_i ln e_i(w),    e_i(w) = sum_j T_ij w_j,    T_ij = t + (1 if i = j else s K_ij^g)

losses, affinities -> fit.Posterior -> optimum.best_mixture -> answer.Answer
"""
