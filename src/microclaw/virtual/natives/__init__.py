"""The functions that the firmware offers to apps, a file a group. Which of them a board has, its profile says."""
