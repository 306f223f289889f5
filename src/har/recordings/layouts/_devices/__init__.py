"""Binary files of research accelerometers: decoded by `actfast` piece by piece, timed, and divided into days."""
