"""Has a recorded history judged by the checkers of the simulator."""

import subprocess

RIGHT, UNUSABLE = 0, 2


def judge(sim, history, log_folders, weak_sync=False, limit=120):
    """What is wrong with the history: nothing, or a sentence.

    `log_folders`: the `version-2` of servers that are stopped; the first one that holds every
    transaction is taken. `weak_sync`: where an Apache server may have led.
    """
    reason = "no log was given"
    for folder in log_folders:
        command = [sim, "check", history, "--log", folder] + ["--apache"] * weak_sync
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return [f"the history was not judged within {limit} s"]
        if done.returncode == UNUSABLE:
            reason = done.stderr.strip()
            continue
        for line in done.stdout.splitlines():
            print(f"      {line}")
        return [] if done.returncode == RIGHT else [f"the history is not right (code {done.returncode})"]
    return [f"the history cannot be judged: {reason}"]
