module apply

go 1.24.0
