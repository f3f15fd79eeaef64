"""The PPO agent: policy, model rollouts on a surrogate, and exploration."""
