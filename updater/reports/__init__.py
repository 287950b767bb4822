"""Reports to the publisher: failures and check-ins, sent only with consent."""
