"""What a server does with sessions: sign users in and out, list and end sessions, process those that expired."""
