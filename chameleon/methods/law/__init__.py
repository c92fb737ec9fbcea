"""The affinity law: weights from losses of a few small runs, and what domains learn from each other's text.

L_i(w) = c_i - b_i ln e_i(w),    e_i(w) = sum_j T_ij w_j,    T_ij = t + (1 if i = j else s A_ij^g)

losses, overlap.overlaps -> fit.Posterior -> optimum.best_mixture -> answer.Answer
"""
