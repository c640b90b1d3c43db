module adit.dev/tests/tools/app

go 1.26
