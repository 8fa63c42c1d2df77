"""The scheduler's decisions, pure: which node a pod goes to, why none takes it, who has to make room.

`asks` reads what pods ask for, `accounts` keeps what nodes offer and hold, `filters` and `topology` refuse, `scores`
weigh, `choice` chooses, `preemption` finds victims, `taints` is also the taint controllers'.
"""
