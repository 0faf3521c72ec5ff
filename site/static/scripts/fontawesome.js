// The theme draws icons with its font; the same icons once more, as 1.5 MB of JavaScript, are left out.
