"""What `relay doctor` looks at: each module is one part of what mail depends on."""
