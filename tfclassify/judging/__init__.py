"""Models judged and set against one another: verdicts, stored answers, contenders, members."""
