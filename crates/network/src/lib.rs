//! Inventory, exposure, policy, cost and plan of a telecom network.
